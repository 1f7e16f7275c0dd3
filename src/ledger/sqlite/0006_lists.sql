-- The lists of a run that had several, in their order. Its run.input names them, its run.input_rows counts their rows, and its
-- run.input_sha256 is the SHA-256 of theirs, in hexadecimal, one a line. A run of one list has no rows here.
CREATE TABLE run_list (
    run    INTEGER NOT NULL REFERENCES run ON DELETE CASCADE,
    list   INTEGER NOT NULL CHECK (list > 0),  -- its position on the command line
    name   TEXT    NOT NULL,
    sha256 TEXT    NOT NULL,                   -- of its bytes, in hexadecimal
    "rows" INTEGER NOT NULL,
    PRIMARY KEY (run, list)
) STRICT, WITHOUT ROWID;

-- Which of the lists of its run an edit was last sent from; NULL where that run had one.
ALTER TABLE edit ADD COLUMN list INTEGER CHECK (list > 0);
