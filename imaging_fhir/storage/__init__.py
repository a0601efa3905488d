"""Where everything is kept: one database (SQLite or PostgreSQL) and one store of blobs."""
