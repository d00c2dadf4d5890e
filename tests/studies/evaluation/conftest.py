from small_models import quick_compilation

__all__ = ["quick_compilation"]
