// ProcessImage
