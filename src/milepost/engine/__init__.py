"""What makes tasks run: the worker, the runners, the context, and the loops that look after the rest."""
