"""The paper's analysis as runnable mathematics.

Reading order, and the order in which files may import each other:
reference, settings, data, problem, models, toolbox, convolution, decomposition,
regime, structures, measure, lemmas, instruments, arcsine, kernels,
limit_inputs, limit_probe, limit_reading, limit, network_probe,
network_reading, network, task, convergence.

Letters, one meaning each in this package (shapes in brackets):

  d      dimension of each component            N      training examples
  m      hidden units; m/2 rows see each component
  x1, x2 P and Q component [d]                  y      label, -1 or +1
  w*     direction of P's margin gamma0 = 1/sqrt(d)
  z, zeta  Q's vectors: ||z|| = q_norm, ||zeta|| = r q_norm, zeta _|_ z
  alpha  Q's random length in [0, 1]
  p0, q0 probability of P-only and Q-only; p, q their empirical fractions
  M1, M2 indices of examples with x1 != 0, x2 != 0
  U = [W; V]  first layer, W for x1, V for x2   u      fixed head, +-1/sqrt(m)
  r_t, g_t    outputs of the W and the V block
  gamma  learning rate: eta1 large, eta2 small  lambda weight decay
  tau0   std of the initialisation              tau_xi std of the gradient noise
  tau_t  std of the noise part at step t        eps1, eps2  loss thresholds
  rho    correlation of the noise part with its past
"""
