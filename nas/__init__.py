"""Search, and what follows from it: profiles, studies, fronts, exports."""
