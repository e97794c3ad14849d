"""How alike the tokens are, and how much of a head's logits the theory's one-parameter law explains."""

import math
from dataclasses import dataclass
from functools import reduce
from operator import add

import torch
from jaxtyping import Float, Float32, Int
from torch import Tensor

Tokens = Float[Tensor, "tokens width"]
Rows = Float[Tensor, "queries tokens"]  # of an attention matrix
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)


@dataclass(frozen=True)
class TokenStatistics:
    """Directions x̂ = x/‖x‖ of N tokens in S frames; all numbers dimensionless.

    resultant: R = ‖mean x̂‖, length of the mean token. gamma: mean cosine over all pairs of different tokens,
    exact from R: γ = (N R² - 1)/(N - 1). gamma_sd and gamma_quantiles (5, 25, 50, 75, 95 %): of the
    cosines, over sampled pairs. common, frame, token: shares, in total 1, of Σ‖x̂‖² = N in the mean token
    (= R²), in the frames' means around it, and in the tokens around their frame's mean. norm: mean ‖x‖.
    step: h = rms‖update‖ / rms‖x‖, the relative residual step of the attention branch.
    """

    tokens: int
    resultant: float
    gamma: float
    gamma_sd: float
    gamma_quantiles: tuple[float, ...]
    common: float
    frame: float
    token: float
    norm: float
    step: float


def token_statistics(
    x: Tokens, update: Tokens, frames: int, seed: int, *, pairs: int = 4096
) -> TokenStatistics:
    """Statistics of the tokens x, frame after frame, and of the update that is added to them.

    Works frame by frame in float32: memory is that of one frame and of 2 · pairs tokens.

    Raises:
        ValueError: a token is zero, so that it has no direction.
    """
    sums, norms, squares = [], [], []
    for part, change in zip(x.chunk(frames), update.chunk(frames), strict=True):
        length = part.float().norm(dim=1)
        sums.append((part.float() / length[:, None]).double().sum(0))
        norms.append(length)
        squares.append(torch.stack([(length**2).sum(), (change.float() ** 2).sum()]))
    if not bool((torch.cat(norms) > 0).all()):
        raise ValueError("a token is zero (or not a number) and has no direction")
    energy, step = (reduce(add, column) for column in torch.stack(squares).T.tolist())
    n, per_frame = len(x), len(x) // frames
    means = torch.stack(sums) / per_frame  # (S, C)
    resultant, within = float(means.mean(0).norm()), float((means**2).sum(1).mean())
    cosines = _sampled_cosines(x, pairs, seed)
    return TokenStatistics(
        tokens=n,
        resultant=resultant,
        gamma=(n * resultant**2 - 1) / (n - 1),
        gamma_sd=float(cosines.std()),
        gamma_quantiles=tuple(torch.quantile(cosines, torch.tensor(QUANTILES)).tolist()),
        common=resultant**2,
        frame=within - resultant**2,
        token=1 - within,
        norm=float(torch.cat(norms).mean()),
        step=math.sqrt(step / energy),
    )


def _sampled_cosines(x: Tokens, pairs: int, seed: int) -> Float32[Tensor, " {pairs}"]:
    """Cosines of random pairs of different tokens, on the CPU."""
    rng = torch.Generator().manual_seed(seed)
    first = torch.randint(0, len(x), (pairs,), generator=rng)
    other = (first + torch.randint(1, len(x), (pairs,), generator=rng)) % len(x)
    a, b = x[first.to(x.device)].float(), x[other.to(x.device)].float()
    return torch.nn.functional.cosine_similarity(a, b).cpu()


@dataclass(frozen=True)
class Sample:
    """A few query tokens, and their cosines to all tokens; shared by the heads of a layer."""

    queries: Int[Tensor, " queries"]
    cosines: Float32[Tensor, "queries tokens"]

    @classmethod
    def draw(cls, x: Tokens, count: int, seed: int) -> "Sample":
        """`count` queries without replacement from the tokens x; memory count · N, and x once more."""
        rng = torch.Generator().manual_seed(seed)
        chosen = torch.randperm(len(x), generator=rng)[:count].to(x.device)
        norms = x.float().norm(dim=1)
        products = x[chosen].float() @ x.float().T
        return cls(chosen, products / (norms[chosen, None] * norms))


@dataclass(frozen=True)
class Alignment:
    """How a head's attention follows the cosines of the tokens, against the theory's A_ij ∝ exp(β cos(x_i,
    x_j)).

    beta: β_eff, least-squares slope of the logits ℓ_ij = scale q_i·k_j (before merging) on c_ij = cos(x_i,
    x_j), both centred within each sampled query's row, j ≠ i. The softmax ignores a shift of a row, so the
    slope is all of the theory's law that a row can show, and least squares is its estimator; unlike a ratio
    of standard deviations it does not count logits that have nothing to do with the cosines. correlation:
    of the same centred pairs; its square is the share of the logits' variance that the law explains.
    logit_sd: standard deviation of the logits within a row; logit_sd / sd(c) = beta / correlation bounds
    |beta|. self_gap: mean of ℓ_ii minus the row's mean logit, nats. critical_tokens: N* = e^{β(1-γ)}, the
    number of tokens at which, under the law, a token's own mass is one half. self_mass: mean A_ii over all
    tokens (exact; lifted to all N where tokens were merged). cluster_mass: mean attention from a sampled
    query to tokens with cosine ≥ cluster_cosine (itself included), and cluster_share the fraction of tokens
    that lie there: what uniform attention would give.
    """

    beta: float
    correlation: float
    logit_sd: float
    self_gap: float
    critical_tokens: float
    self_mass: float
    cluster_mass: float
    cluster_share: float
    cluster_cosine: float


def alignment(
    logits: Rows, attention: Rows, sample: Sample, gamma: float, self_mass: float, cluster_cosine: float = 0.9
) -> Alignment:
    """From logits and attention of the sampled queries; gamma of the layer, self_mass of the head."""
    own = torch.zeros_like(sample.cosines, dtype=torch.bool)
    own.scatter_(1, sample.queries[:, None], True)
    others = ~own
    count = others.sum(1, keepdim=True)

    def centred(values: Tensor) -> Tensor:
        mean = (values * others).sum(1, keepdim=True) / count
        return (values - mean) * others

    ell, cos = centred(logits.double()), centred(sample.cosines.double())
    covariance, variance, energy = (float(s) for s in ((ell * cos).sum(), (cos**2).sum(), (ell**2).sum()))
    beta = covariance / variance if variance > 0 else 0.0
    product = math.sqrt(variance * energy)
    cluster = (sample.cosines >= cluster_cosine) | own
    gap = (logits.double() * own).sum(1) - (logits.double() * others).sum(1) / count[:, 0]
    return Alignment(
        beta=beta,
        correlation=covariance / product if product > 0 else 0.0,
        logit_sd=math.sqrt(energy / float(count.sum())),
        self_gap=float(gap.mean()),
        critical_tokens=math.exp(min(beta * (1 - gamma), 700.0)),
        self_mass=self_mass,
        cluster_mass=float((attention * cluster).sum(1).mean()),
        cluster_share=float(cluster.double().mean()),
        cluster_cosine=cluster_cosine,
    )
