"""Training jobs: the trainer's loop over the table of jobs, and the work of each kind of job."""
