"""Operations outside the pipeline: the ops worker, its tasks and schedule, runs, re-banding, forgetting, replay."""
