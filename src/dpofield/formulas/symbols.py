"""The symbols every formula shares, so that two modules never mean two things by one letter.

| symbol | meaning | unit |
|---|---|---|
| `x1`, `x2` | ratio pi/pi_ref of the preferred and the dispreferred response | none |
| `u`, `v` | log-ratios `log x1`, `log x2`, summed over response tokens | nats |
| `beta` | strength of the KL penalty | 1/nats |
| `pi_w`, `pi_l` | the policy's probability of the two responses | none |
| `z_w`, `z_l` | their logits in one softmax over whole responses | nats |
| `ref_w`, `ref_l` | reference log-probabilities | nats |
| `len_w`, `len_l` | scored tokens of the two responses | tokens |
| `rest` | log-sum-exp of all other logits of that softmax | nats |
"""

import sympy as sp

x1, x2 = sp.symbols("x_1 x_2", positive=True)
u, v = sp.symbols("u v", real=True)
beta = sp.Symbol("beta", positive=True)
pi_w, pi_l = sp.symbols("pi_w pi_l", positive=True)
z_w, z_l = sp.symbols("z_w z_l", real=True)
ref_w = sp.Symbol(r"\log\pi^{\mathrm{ref}}_w", real=True)
ref_l = sp.Symbol(r"\log\pi^{\mathrm{ref}}_l", real=True)
len_w, len_l = sp.symbols("n_w n_l", positive=True)
rest = sp.Symbol("z_rest", real=True)
