"""Reads a screenshot with Pillow, whole, and says what is in it.

Argument: a PNG file. Prints one line of JSON: its size, how many colours it has, and the share of pixels that are not of its
commonest colour.
"""

import json
import sys

from PIL import Image

with Image.open(sys.argv[1], formats=["PNG"]) as picture:
    pixels = picture.convert("RGB")
colours = pixels.getcolors(pixels.width * pixels.height)
commonest = max(count for count, _ in colours)
share = 1 - commonest / (pixels.width * pixels.height)
print(json.dumps({"size": list(pixels.size), "colours": len(colours), "drawn": share}))
