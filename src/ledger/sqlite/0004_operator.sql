-- On whose account a run sent, and by which job file.
ALTER TABLE run ADD COLUMN identifier TEXT;  -- the admin account that signs; not known of runs of earlier versions
ALTER TABLE run ADD COLUMN job_sha256 TEXT;  -- of the job file's bytes, in hexadecimal, where there was one

-- A run that reads each message first has begun and not come to the end of its list: what it did not read may have been
-- sent by somebody whom this ledger does not know of, so the next run reads first as well.
ALTER TABLE job ADD COLUMN reads_first INTEGER NOT NULL DEFAULT 0;
