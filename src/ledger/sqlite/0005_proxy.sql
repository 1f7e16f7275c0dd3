-- By way of which proxy a run sent: what it had taken it may pass on late, so the next run waits for longer before it looks.
ALTER TABLE run ADD COLUMN proxy TEXT;  -- host:port; without one, and of runs of earlier versions, NULL
