"""Sequence models that propose antiderivatives, solutions and skeletons of formulas.

`vocabulary` has the tokens, `pairs` the training set, `augment` its equivalent forms, `pretraining`
the corpora without answers; `model` is the encoder-decoder (`encoder`: on another trunk);
`candidates` uses it in the solvers, with `coefficients` solved for; `shipped` finds its weights.
`official` and `official_decoding` are the published network of Lample & Charton; `skeletons`
proposes formulas for symbolic regression.
"""
