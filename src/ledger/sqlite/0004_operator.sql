-- On whose account a run sent, and by which job file.
ALTER TABLE run ADD COLUMN identifier TEXT;  -- the admin account that signs; not known of runs of earlier versions
ALTER TABLE run ADD COLUMN job_sha256 TEXT;  -- of the job file's bytes, in hexadecimal, where there was one
