"""Where the course of a run is written: files always, others' trackers on demand."""
