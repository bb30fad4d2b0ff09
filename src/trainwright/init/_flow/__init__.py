"""How a model's real forward pass is followed, and how starting weights are set on the way.

weights   what a call such as `F.conv2d(x, w)` is: its weight, how it lies in memory, new directions for it
follow    sees every call of a forward pass and keeps who feeds whom
look      the first pass, on noise: what stands between two layers, where sums join; makes a plan
settle    the second pass, on the batch: each weight is drawn and scaled as its layer runs
"""
