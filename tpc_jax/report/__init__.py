"""What a run shows a person: videos, pictures, tables and JSON files."""
