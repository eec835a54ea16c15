// Symbolization
