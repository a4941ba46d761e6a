"""The symbols that all formulas share, so that each letter has one meaning in every module.

| symbol | meaning | unit |
|---|---|---|
| `x1`, `x2` | ratio pi/pi_ref of the preferred and the dispreferred response | none |
| `u`, `v` | log-ratios `log x1`, `log x2`, summed over response tokens | nats |
| `h` | margin `u - v` | nats |
| `beta` | strength of the KL penalty | 1/nats |
| `pi_w`, `pi_l` | the policy's probability of the two responses | none |
| `z_w`, `z_l` | their logits in one softmax over whole responses | nats |
| `ref_w`, `ref_l` | reference log-probabilities | nats |
| `len_w`, `len_l` | scored tokens of the two responses | tokens |
| `rest` | log-sum-exp of all other logits of that softmax | nats |
| `x` | a ratio pi/pi_ref, as the argument of a divergence's generator | none |
| `alpha` | exponent of the alpha-divergence, and of AlphaPO's reward | none |
| `epsilon` | assumed share of pairs with a flipped label | none |
| `tau` | temperature of DiscoPOP's switch | none |
| `gamma` | target margin (SimPO, AlphaPO) | none |
| `delta` | threshold of a reward (BCO) or of a log-likelihood gap (SLiC) | nats |
| `lam` | weight of a loss's second term; its sources call it lambda or alpha | none |
| `lam_w`, `lam_l` | weights of the two halves of KTO | none |
| `z0` | KTO's reference point, an estimate of the divergence from the reference | nats |
| `shift` | number that AOT's matching within the batch adds to a pair's margin | nats |
"""

import sympy as sp

x1, x2 = sp.symbols("x_1 x_2", positive=True)
u, v, h = sp.symbols("u v h", real=True)
beta = sp.Symbol("beta", positive=True)
pi_w, pi_l = sp.symbols("pi_w pi_l", positive=True)
z_w, z_l = sp.symbols("z_w z_l", real=True)
ref_w = sp.Symbol(r"\log\pi^{\mathrm{ref}}_w", real=True)
ref_l = sp.Symbol(r"\log\pi^{\mathrm{ref}}_l", real=True)
len_w, len_l = sp.symbols("n_w n_l", positive=True)
rest = sp.Symbol("z_rest", real=True)
x = sp.Symbol("x", positive=True)
alpha = sp.Symbol("alpha", real=True)
epsilon, tau, lam, lam_w, lam_l = sp.symbols("epsilon tau lambda lambda_w lambda_l", positive=True)
gamma, delta, shift = sp.symbols("gamma delta c", real=True)
z0 = sp.Symbol("z_0", real=True)
