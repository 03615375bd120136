"""How much memory a process of GRPO takes, phase by phase, by arithmetic.

What stays (weights, optimiser state, reference model, DDP's buckets), and what each phase needs
beside it:

    generation   KV cache + logits of one token + working space of a layer
    scoring      working space of a layer + tiles of logits; no gradient, nothing is kept
    training     activations + gradients + tiles of logits

All sizes are bytes of one process. Left out: the CUDA context (about 0.5 GiB), communication
buffers but DDP's, fragmentation, and images.

Sources: what stays, and its shards: Rajbhandari et al. 2020 (ZeRO, arXiv 1910.02054), section 3.
Activations: the method of Korthikanti et al. 2022 (arXiv 2205.05198), section 4, counted anew for
RMSNorm, rotary embeddings, SDPA and SwiGLU as transformers 5 runs them. Tiles of logits: TRL 1.16,
`trl.kernels.chunked_logprob`. `benchmarks/memory` holds the result against measured peaks.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = [
    "Ledger",
    "Load",
    "Shape",
    "activations",
    "buckets",
    "gathered",
    "gradients",
    "kv_cache",
    "ledger",
    "logit_tiles",
    "optimiser_state",
    "reference",
    "sampling",
    "weights",
    "working_space",
]

Precision = Literal["float32", "bfloat16", "autocast"]
Sharding = Literal["none", "ddp", "zero1", "zero2", "zero3", "fsdp"]

# TRL scores log-probs in tiles of so many tokens by so many words.
TILE_TOKENS, TILE_WORDS = 4096, 32768
# Tiles that are alive at once: one in the fused kernels of a GPU, elsewhere what torch's operations
# leave, in the forward (logits, shifted, exponentials and their product) and in the backward.
CPU_TILES_FORWARD, CPU_TILES_BACKWARD = 4, 8


@dataclass(frozen=True)
class Shape:
    """The sizes of a decoder.

    Attributes:
        parameters: all, a tied head counted once, without adapters.
        trained: those that the optimiser changes; an adapter's own under LoRA.
        vocabulary: V.
        hidden: H.
        layers: L.
        heads: of queries.
        kv_heads: of keys and values.
        head_dim: of each.
        intermediate: of the MLP; with experts, the widths of those that see a token, together.
        tied: whether the head is the embedding.
        adapter: whether an adapter is trained and all else is frozen.
    """

    parameters: int
    trained: int
    vocabulary: int
    hidden: int
    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    intermediate: int
    tied: bool
    adapter: bool = False

    @property
    def head(self) -> int:
        """Elements of the output matrix, V x H."""
        return self.vocabulary * self.hidden

    @property
    def embeddings(self) -> int:
        """Elements of embedding and output matrix together."""
        return self.head if self.tied else 2 * self.head

    @property
    def queries(self) -> int:
        """Width of the queries: heads x head_dim."""
        return self.heads * self.head_dim


@dataclass(frozen=True)
class Load:
    """What one process is asked to do.

    Attributes:
        rows: completions of one forward and backward, replayed ones included.
        generated: completions that this process generates at once.
        prompt: tokens of the longest prompt.
        completion: most tokens of a completion.
        weight_bytes: of an element of the model as it is kept; below 1 where it is quantised.
        trained_bytes: of an element that is trained.
        reference_bytes: of an element of the reference model; None: as of the model.
        precision: of the computation, float16 counted as bfloat16; "autocast" is bf16=true or
            fp16=true on float32 weights.
        states: numbers that the optimiser keeps for each trained one, of the size of its own
            parameters: float32 under DeepSpeed, else `trained_bytes`.
        ranks: processes.
        sharding: what they share out.
        checkpointing: whether activations are computed again in the backward.
        accumulates: whether a backward finds gradients of an earlier micro-batch.
        beta: whether there is a KL term.
        masks: whether attention takes a mask as a tensor (sdpa, eager), not lengths (flash).
        engine: whether vLLM generates.
        cpu: whether logits go through torch's operations instead of fused kernels.
    """

    rows: int
    generated: int
    prompt: int
    completion: int
    weight_bytes: float = 4
    trained_bytes: int = 4
    reference_bytes: float | None = None
    precision: Precision = "float32"
    states: float = 2
    ranks: int = 1
    sharding: Sharding = "none"
    checkpointing: bool = False
    accumulates: bool = False
    beta: bool = False
    masks: bool = True
    engine: bool = False
    cpu: bool = False

    @property
    def tokens(self) -> int:
        """Tokens of one forward and backward, padding included."""
        return self.rows * (self.prompt + self.completion)

    @property
    def width(self) -> int:
        """Bytes of an element that a linear layer gives."""
        return 4 if self.precision == "float32" else 2

    def share(self, *kinds: str) -> int:
        """Over how many processes something is shared that these kinds shard."""
        return self.ranks if self.sharding in kinds else 1


@dataclass(frozen=True)
class Ledger:
    """The result, in bytes of one process.

    Attributes:
        stays: by name, what is there in every phase (the optimiser state from the first step on).
        phases: by name, the most that a phase takes, what stays included.
        parts: by name, what phases need beside it.
    """

    stays: dict[str, float]
    phases: dict[str, float]
    parts: dict[str, float]

    @property
    def peak(self) -> tuple[str, float]:
        """The phase that takes most, and how much."""
        name = max(self.phases, key=lambda phase: self.phases[phase])
        return name, self.phases[name]


def weights(shape: Shape, load: Load) -> float:
    """Weights, and an adapter's: parameters x bytes; ZeRO-3 and FSDP share them out."""
    own = shape.parameters * load.weight_bytes
    if shape.adapter:
        own += shape.trained * load.trained_bytes
    return own / load.share("zero3", "fsdp")


def gathered(shape: Shape, load: Load) -> float:
    """What ZeRO-3 and FSDP put together for a while: two layers and the output matrix."""
    if load.share("zero3", "fsdp") == 1:
        return 0.0
    layer = (shape.parameters - shape.embeddings) / shape.layers
    return (2 * layer + shape.head) * load.width


def gradients(shape: Shape, load: Load) -> float:
    """One for each trained parameter; ZeRO-2, ZeRO-3 and FSDP share them out."""
    return shape.trained * load.trained_bytes / load.share("zero2", "zero3", "fsdp")


def buckets(shape: Shape, load: Load) -> float:
    """Copies of all gradients, which DDP's reducer holds from its construction on."""
    if load.share("ddp") == 1:
        return 0.0
    return gradients(shape, load)


def optimiser_state(shape: Shape, load: Load) -> float:
    """`states` numbers for each trained parameter: two of AdamW, in the parameter's own type.

    DeepSpeed has the optimiser work on a float32 copy of the parameter: 12 bytes with AdamW.
    """
    if load.sharding.startswith("zero"):
        return shape.trained * 4 * (load.states + 1) / load.ranks
    return shape.trained * load.trained_bytes * load.states / load.share("fsdp")


def reference(shape: Shape, load: Load) -> float:
    """A second model for the KL term; none under LoRA, where the adapter is switched off for it."""
    if not load.beta or shape.adapter:
        return 0.0
    width = load.weight_bytes if load.reference_bytes is None else load.reference_bytes
    return shape.parameters * width / load.share("zero3", "fsdp")


def activations(shape: Shape, load: Load) -> float:
    """What the forward keeps for the backward.

    Of each token in each layer, in elements: two norms keep their input, the normalised and the
    result (6 H), attention keeps queries, result, and keys and values repeated to the heads of the
    queries (4 A), SwiGLU keeps gate, up, activated gate and product (4 I), and SDPA keeps its mask
    (one number a key). In bytes:

        float32    24 H + 16 A + 16 I + 4 keys
        bfloat16   16 H +  8 A +  8 I + 2 keys     a norm computes in float32
        autocast   26 H +  8 A +  8 I + 2 keys     and a bfloat16 copy of each matrix

    FSDP gathers the matrices in bfloat16, which needs no copies (`gathered`). Gradient
    checkpointing keeps the input of each layer, and all of the one that is computed again.
    """
    keys = load.prompt + load.completion if load.masks else 0
    of_hidden = {"float32": 24, "bfloat16": 16, "autocast": 26}[load.precision]
    width = load.width
    layer = of_hidden * shape.hidden
    layer += width * (4 * shape.queries + 4 * shape.intermediate + keys)
    stream = shape.hidden * (2 if load.precision == "bfloat16" else 4)
    last = of_hidden / 2 * shape.hidden  # the norm after the last layer
    kept = layer + shape.layers * stream if load.checkpointing else shape.layers * layer
    copies = 0.0
    if load.precision == "autocast" and load.share("fsdp") == 1:
        copies = 2.0 * (shape.parameters - shape.embeddings)
        if load.checkpointing:
            copies /= shape.layers
    return load.tokens * (kept + last) + copies


def working_space(shape: Shape, load: Load, tokens: int) -> float:
    """What one layer holds while it computes `tokens` tokens and keeps nothing.

    The greater of attention (stream, its norm; queries, repeated keys and values, result) and
    SwiGLU (stream, its norm; gate, up, product).
    """
    inside = max(4 * shape.queries, 3 * shape.intermediate)
    stream = 2 if load.precision == "bfloat16" else 4
    return tokens * (2 * shape.hidden * stream + inside * load.width)


def logit_tiles(shape: Shape, load: Load, *, backward: bool) -> float:
    """Logits of the tokens that are scored, which exist a tile at a time.

    Fused kernels score completions only; without them all positions are scored, and several tiles
    are alive at once. The backward adds float32 gradients of the hidden states and, unless the
    output matrix is frozen, of that.
    """
    scored = load.tokens if load.cpu else load.rows * load.completion
    tile = min(scored, TILE_TOKENS) * min(shape.vocabulary, TILE_WORDS)
    if not load.cpu:
        tiles = tile * load.width
    else:
        tiles = tile * 4 * (CPU_TILES_BACKWARD if backward else CPU_TILES_FORWARD)
    if not backward:
        return tiles
    return tiles + 4 * scored * shape.hidden + (0 if shape.adapter else 4 * shape.head)


def kv_cache(shape: Shape, load: Load) -> float:
    """Keys and values of all tokens of all rows that are generated together.

    2 x layers x kv_heads x head_dim elements a token; a layer's are held twice while it grows.
    """
    a_token = 2 * shape.kv_heads * shape.head_dim * load.width
    return load.generated * (load.prompt + load.completion) * a_token * (shape.layers + 1)


def sampling(shape: Shape, load: Load) -> float:
    """Logits of the next token: the model's, their float32 copy, the warped ones, probabilities."""
    return load.generated * shape.vocabulary * (load.width + 3 * 4)


def ledger(shape: Shape, load: Load) -> Ledger:
    """Put the parts together.

    Training peaks at one of three moments: at the head, when all activations are there (and the
    gradients, if they are accumulated); at the end of the backward, when all gradients are there
    and the embedding adds its own; or in the optimiser's step.
    """
    stays = {
        "weights": weights(shape, load),
        "optimiser": optimiser_state(shape, load),
        "reference": reference(shape, load),
        "gathered layers": gathered(shape, load),
        "DDP buckets": buckets(shape, load),
    }
    base = sum(stays.values())
    kept, own = activations(shape, load), gradients(shape, load)
    head = logit_tiles(shape, load, backward=True)
    cache = 0.0 if load.engine else kv_cache(shape, load)
    prefill = 0.0 if load.engine else working_space(shape, load, load.generated * load.prompt)
    drawn = 0.0 if load.engine else sampling(shape, load)
    embedding = 0.0 if shape.adapter else shape.head * load.trained_bytes
    at_head = kept + head + (own if load.accumulates else 0.0)
    at_end = own + embedding
    scored = working_space(shape, load, load.tokens) + logit_tiles(shape, load, backward=False)
    return Ledger(
        stays={name: size for name, size in stays.items() if size},
        phases={
            "generation": base + cache + max(prefill, drawn),
            "scoring": base + scored,
            "training": base + max(at_head, at_end, own),
        },
        parts={
            "gradients": own,
            "activations": kept,
            "logits": head,
            "KV cache": cache,
        },
    )
