"""How often workers say that they live, and after which silence nobody counts on them."""

BEAT_SECONDS = 2.0
SILENT_SECONDS = 3 * BEAT_SECONDS
# Set by whoever starts a worker again when it dies: drawn for all that it starts.
CREW_VARIABLE = "STEPMARK_CREW"
