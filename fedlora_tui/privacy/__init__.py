"""What hides an organization behind the others: clipping, noise, and the account of what was given away in spite of it.

Pure functions on adapters and numbers; no Flower here, and no face.
"""
