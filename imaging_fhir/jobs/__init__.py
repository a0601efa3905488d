"""Work in the background: what waits is a row of the database, and this says who looks for it."""
