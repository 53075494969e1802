"""How far a student's next-token distributions are from a teacher's, with the gradient.

P is the teacher's distribution at a place, Q the student's, both over the student's tokens:

    forward   KL(P, Q) = sum P log(P / Q)
    reverse   KL(Q, P)
    js        (KL(P, M) + KL(Q, M)) / 2, M = (P + Q) / 2: the generalised Jensen-Shannon divergence
              of Agarwal et al. 2023 ("On-Policy Distillation of Language Models", section 2) at
              beta = 1/2

At a temperature T, P and Q are softmax(logits / T), and the divergence is multiplied by T^2, so
that its gradient does not shrink with T (Hinton, Vinyals and Dean 2015, "Distilling the Knowledge
in a Neural Network", section 2).

The functions here return the summed divergence of some places and its gradient with respect to the
student's logits, in closed form: whoever computes logits a few places at a time turns them into
gradients at once and keeps none. They work in the number format of the logits, which ought to be
fp32.
"""

import math
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor
from torch.nn.functional import pad

if TYPE_CHECKING:
    from understudy.train.data import TopK

Kind = Literal["forward", "reverse", "js"]
# What the listed tokens leave over is not taken to be less than this. Log-probabilities come
# rounded, so that a smaller difference from 1, or one below 0, means nothing.
LEAST_REST = 1e-6


def told(teacher: "TopK") -> Tensor:
    """Where the teacher said something at all, shape (m,)."""
    return (teacher.ids >= 0).any(dim=1)


@torch.no_grad()
def divergence(
    logits: Tensor, teacher_logits: Tensor, kind: Kind, temperature: float
) -> tuple[Tensor, Tensor]:
    """Divergence between two distributions of which all is known.

    Args:
        logits: the student's, shape (c, V).
        teacher_logits: the teacher's, shape (c, W). Tokens beyond the first min(V, W) are left out
            on both sides and the rest renormalised; one of a table's filling has no text.
        kind: which divergence.
        temperature: see the module's text.

    Returns:
        The sum over the c places, and its gradient with respect to `logits`, shape (c, V).
    """
    width = min(logits.shape[1], teacher_logits.shape[1])
    log_p, log_q = (
        (side[:, :width].to(logits.dtype) / temperature).log_softmax(dim=1)
        for side in (teacher_logits, logits)
    )
    losses, gradient = _compare(log_p, log_q, kind)
    gradient = pad(gradient.mul_(temperature), (0, logits.shape[1] - width))
    return losses.sum() * temperature**2, gradient


@torch.no_grad()
def topk_divergence(
    logits: Tensor, teacher: "TopK", kind: Kind, temperature: float
) -> tuple[Tensor, Tensor]:
    """Divergence from a teacher that named its likeliest tokens only.

    At temperature 1 all other tokens are one more event, with the mass that the listed ones leave
    over, on either side. To merge events never raises any of the three divergences (the log-sum
    inequality; Cover and Thomas, "Elements of Information Theory", theorem 2.7.1: for a group of
    events, sum p log(p / q) >= (sum p) log(sum p / sum q)). So this is a lower bound of the full
    divergence, and equals it where every token is listed or where the student spreads its
    remaining mass as the teacher does.

    At another temperature the remaining mass cannot be had: it becomes the sum of P^(1/T) over
    tokens that nobody listed, one by one. Yet the ratios of the listed ones do not depend on it.
    So there the two softened distributions are compared given that the token is a listed one: each
    is renormalised over the listed tokens, which is exact. Nothing then holds down what the student
    gives to others; cross-entropy beside it does.

    Args:
        logits: the student's, shape (c, V).
        teacher: distinct ids and their log-probabilities, shape (c, k) each. Log-probabilities that
            sum to more than 1 by rounding are scaled down.
        kind: which divergence.
        temperature: see above.

    Returns:
        The sum over the c places, and its gradient with respect to `logits`, shape (c, V). A place
        of which the teacher said nothing (see `told`) adds 0 to both.
    """
    listed = teacher.ids >= 0
    # What fills a row up repeats its first id, and adds nothing.
    ids = torch.where(listed, teacher.ids, teacher.ids[:, :1]).clamp(min=0)
    own = (logits.gather(1, ids) / temperature).masked_fill(~listed, -math.inf)
    log_p = (teacher.logprobs.to(logits.dtype) / temperature).masked_fill(~listed, -math.inf)
    gradient = torch.zeros_like(logits)
    if temperature == 1:
        others = logits.scatter(1, ids, -math.inf)
        rest = others.logsumexp(dim=1, keepdim=True)
        own, log_p = torch.cat([own, rest], dim=1), _with_rest(log_p, rest)
        gradient = (others - rest.clamp(min=torch.finfo(rest.dtype).min)).exp_()  # among the others
    losses, slope = _compare(log_p.log_softmax(dim=1), own.log_softmax(dim=1), kind)
    if temperature == 1:
        gradient.mul_(slope[:, -1:])
        slope = slope[:, :-1]
    gradient.scatter_add_(1, ids, slope.masked_fill(~listed, 0) * temperature)
    silent = ~told(teacher)
    losses = losses.masked_fill(silent, 0)
    return losses.sum() * temperature**2, gradient.masked_fill_(silent[:, None], 0)


def _with_rest(log_p: Tensor, own_rest: Tensor) -> Tensor:
    """The listed log-probabilities and that of all other tokens, which may not be normalised.

    Where the student has no other token (`own_rest` is -inf) the teacher has none either.
    """
    rest = 1 - log_p.exp().sum(dim=1, keepdim=True)
    log_rest = rest.clamp(min=LEAST_REST).log().masked_fill(own_rest == -math.inf, -math.inf)
    return torch.cat([log_p, log_rest], dim=1)


def _compare(log_p: Tensor, log_q: Tensor, kind: Kind) -> tuple[Tensor, Tensor]:
    """Divergences of rows of log-probabilities, shape (c,); gradients at the logits of Q.

    With Q = softmax(u), the gradient at u is Q (g - sum Q g), g being the derivative by Q.
    """
    p, q = log_p.exp(), log_q.exp()
    if kind == "forward":
        return _terms(p, log_p, log_q).sum(dim=1), q - p
    if kind == "reverse":
        parts = _terms(q, log_q, log_p)
        losses = parts.sum(dim=1, keepdim=True)
        return losses.squeeze(1), parts - q * losses
    log_m = torch.logaddexp(log_p, log_q) - math.log(2)
    parts = _terms(q, log_q, log_m)
    from_q = parts.sum(dim=1, keepdim=True)
    losses = (_terms(p, log_p, log_m).sum(dim=1) + from_q.squeeze(1)) / 2
    return losses, (parts - q * from_q) / 2


def _terms(weight: Tensor, log_a: Tensor, log_b: Tensor) -> Tensor:
    """The terms of a Kullback-Leibler divergence; 0 log 0 is 0."""
    return torch.where(weight > 0, weight * (log_a - log_b), 0)
