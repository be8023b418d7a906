"""A secure sum: the server learns what organizations' vectors add up to, and of any one of them nothing more.

SecAgg+ (Bell et al. 2020, https://eprint.iacr.org/2020/704) with the double masking of Bonawitz et al. 2017
(https://eprint.iacr.org/2017/281). Per round, over messages that the server relays:

1. advertise: each organization draws two X25519 key pairs and sends the public keys.
2. share: the server tells each the keys of its neighbours. It draws a seed, splits the seed and its private masking key
   by Shamir, one share for each neighbour and itself, and sends the shares, each sealed for its holder.
3. masked input: y = x + PRG(seed) + sum over neighbours of +-PRG(agreed key), modulo a power of two. The masks of a
   pair cancel in the sum.
4. unmask: of those whose y came, the server is given shares of the seed; of those who dropped out, shares of the
   masking key. With `threshold` of them it takes out what does not cancel. Nobody gives both of one organization.

Keys, seeds and masks are of one session of one round and never serve again. Pure: bytes and arrays in, bytes and
arrays out; how they travel is the federation's.
"""
