"""How often workers say that they live, and after which silence nobody counts on them."""

BEAT_SECONDS = 2.0
SILENT_SECONDS = 3 * BEAT_SECONDS
