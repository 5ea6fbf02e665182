"""Run folders as the dashboard reads them: again and again, bit by bit, trusting nothing."""
