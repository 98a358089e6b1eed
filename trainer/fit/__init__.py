"""Training itself: the base model, the schedule, fine-tuning and its checkpoints."""
