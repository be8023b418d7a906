"""The sections of config.toml, one frozen dataclass each: the one list of keys, their defaults, comments and bounds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from fedlora_tui.config_rules import key


@dataclass(frozen=True)
class ModelConfig:
    """The frozen base model."""

    base: str = key("embedded", '"embedded", a Hugging Face id ("gpt2"), a folder, or a .gguf file')
    dtype: str = key(
        "auto",
        "number format of the base; auto: bfloat16 on a GPU that has it, else float32",
        words=("auto", "float32", "bfloat16", "float16"),
    )
    device: str = key("auto", '"auto", "cpu", "cuda" (all GPUs), "cuda:0" (this one), "mps"')
    max_length: int = key(128, "tokens a row; longer documents are cut into consecutive pieces", least=8, most=131072)
    quantization: str = key(
        "none", "the base's weights in 8 or 4 bits, by bitsandbytes (an extra)", words=("none", "8bit", "4bit")
    )
    gradient_checkpointing: bool = key(False, "compute each layer twice instead of keeping what it computed")


@dataclass(frozen=True)
class LoraConfig:
    """The adapter that every organization trains."""

    rank: int | Mapping[str, int] = key(
        4,
        'columns of B and rows of A in every target module; or { default = 8, "pharmacy-2" = 2 }',
        int,
        by_organization=True,
        least=1,
        most=1024,
    )
    alpha: float = key(8.0, "the product B A is scaled by alpha/rank", above=0.0, most=1e6)
    dropout: float = key(0.0, "share of an adapter's inputs that training drops", least=0.0, below=1.0)
    target_modules: str | tuple[str, ...] = key(
        "auto",
        "which layers carry an adapter; auto: by architecture; all-linear: all but the head",
        str,
        words=("auto", "all-linear"),
        listed=True,
    )
    rank_pattern: Mapping[str, int] = key(
        {}, 'rank of some modules, by name or pattern: { "attn.c_proj" = 2 }', int, table=True, least=1, most=1024
    )
    alpha_pattern: Mapping[str, float] = key(
        {}, "alpha of some modules; the others' is alpha, whatever their rank", float, table=True, above=0.0, most=1e6
    )

    @property
    def default_rank(self) -> int:
        """The rank of all organizations that have none of their own; alpha is meant for it."""
        return self.rank if isinstance(self.rank, int) else self.rank["default"]

    @property
    def own_ranks(self) -> dict[str, int]:
        """The ranks that organizations have by their names."""
        named = {} if isinstance(self.rank, int) else self.rank
        return {name: rank for name, rank in named.items() if name != "default"}

    def rank_of(self, organization: str) -> int:
        """Give the rank at which an organization trains; every scale is alpha over the default rank all the same."""
        return self.own_ranks.get(organization, self.default_rank)

    @property
    def highest_rank(self) -> int:
        """The rank of the global adapter."""
        return max(self.default_rank, *self.own_ranks.values()) if self.own_ranks else self.default_rank


@dataclass(frozen=True)
class FederationConfig:
    """Who trains how long, and how replies become one adapter."""

    organizations: int = key(
        8, "how many take part; left out: 8 synthetic ones, or all that a source has", least=1, most=100_000
    )
    rounds: int = key(20, "rounds of the whole run", least=1, most=1_000_000)
    fraction: float = key(1.0, "share of the organizations that trains in a round", above=0.0, most=1.0)
    local_steps: int = key(8, "optimizer steps of an organization in a round", least=1, most=1_000_000)
    local_epochs: int = key(
        0, "passes over an organization's data in a round, instead of steps; 0: use steps", least=0, most=10_000
    )
    batch_size: int = key(4, "rows a step", least=1, most=65_536)
    learning_rate: float = key(1e-3, "AdamW's rate, constant", above=0.0, most=10.0)
    clip_norm: float = key(0.0, "longest gradient a step, over all factors; 0: not clipped", least=0.0, most=1e9)
    min_organizations: int = key(2, "with fewer the run pauses and says so", least=1, most=100_000)
    fraction_evaluate: float = key(
        1.0,
        "share of the organizations that measures its hold-out; above 256 a fixed sample of 256",
        above=0.0,
        most=1.0,
    )
    seed: int = key(7, "of data, adapters, batches and sampling", least=0, most=2**63 - 1)
    runtime: str = key(
        "local",
        "where organizations run: all in this process, or each on its own machine, over Flower's SuperLink",
        words=("local", "superlink"),
    )
    cohort: str | int = key(
        "auto",
        "organizations trained in one pass; auto: as many as fit in free memory and fill a pass",
        int,
        words=("auto",),
        least=1,
        most=100_000,
    )
    streaming: str | bool = key(
        "auto",
        "add up each reply as it comes, keep none; auto: where a round's would take a quarter of free memory",
        bool,
        words=("auto",),
    )
    aggregation: str = key(
        "fedit",
        "how replies become one adapter; docs/methods.md says what each does",
        words=("fedit", "ffa", "rolora", "flora", "fedex", "flexlora", "hetlora", "fair", "fedsa", "fedsvd"),
    )
    server_optimizer: str = key(
        "none",
        "what the server makes of the round's mean update",
        words=("none", "fedavgm", "fedadam", "fedyogi", "fedadagrad"),
    )
    server_learning_rate: float = key(
        1.0, "how far the server goes; fedadam, fedyogi and fedadagrad want about 0.01", above=0.0, most=10.0
    )
    server_momentum: float = key(0.9, "share of its last move that a server optimizer keeps", least=0.0, below=1.0)
    server_warmup: int = key(
        0, "fedavgm: rounds over which its momentum grows to that; 0: whole at once", least=0, most=1_000_000
    )
    server_cooldown: float = key(
        0.0, "share of the rounds, the last ones, over which the server's rate falls to nothing", least=0.0, most=1.0
    )
    server_decay: float = key(0.99, "fedadam, fedyogi: share of the mean square that is kept", least=0.0, below=1.0)
    server_tau: float = key(
        1e-3, "fedadam, fedyogi, fedadagrad: what the root of the mean square is added to", above=0.0, most=1e3
    )
    proximal_mu: float = key(0.0, "FedProx: pull toward the round's start; 0: off", least=0.0, most=1e6)
    robust: str = key(
        "none",
        "a defence against bad replies",
        words=("none", "median", "trimmed-mean", "krum", "multi-krum", "bulyan", "geometric-median", "norm-bound"),
    )
    byzantine: int = key(0, "bad replies a round that the defence must bear", least=0, most=100_000)
    min_replies: int = key(
        1, "with fewer usable replies a round is not aggregated: the run pauses", least=1, most=100_000
    )
    deadline: float = key(
        0.0, "seconds after which a round's replies are late and left out; 0: none", least=0.0, most=1e7
    )
    oversample: float = key(
        0.0,
        "share of organizations sampled beyond the fraction; a round ends when enough replied",
        least=0.0,
        most=10.0,
    )
    divergence_margin: float = key(
        0.1,
        "nats by which the hold-out loss is above the base's, two rounds running, before the run pauses; 0: never",
        least=0.0,
        most=1e6,
    )
    quarantine_after: int = key(
        2,
        "rounds in a row without a usable reply, then an organization is in quarantine; 0: never",
        least=0,
        most=10_000,
    )


@dataclass(frozen=True)
class SuperlinkConfig:
    """Where runs are submitted to while federation.runtime is "superlink"."""

    address: str = key("", 'HOST:PORT of the SuperLink, like "superlink.example.org:8000"')
    certificate: str = key("", "file of the certificate authority that signed the SuperLink's certificate")
    insecure: bool = key(False, "talk to it without TLS: whoever is on the way may read and change what is sent")
    connection: str = key("", "instead of all that, the name of a connection in Flower's own configuration")


@dataclass(frozen=True)
class DataConfig:
    """Where the organizations' private text comes from."""

    source: str = key(
        "synthetic",
        "invented records of different trades, a folder, one table, or a Hugging Face dataset",
        words=("synthetic", "folder", "table", "hub"),
    )
    path: str = key("", "folder: a file or sub-folder an organization; table: one file; hub: a dataset's id or folder")
    text_field: str = key("text", "field or column of .jsonl, .csv, .parquet and datasets that holds the text")
    prompt_field: str = key("", "field that asks; with response_field, instead of text_field")
    response_field: str = key("", "field that answers; the loss is on it alone")
    organization_field: str = key("organization", "column of a table or dataset that says whose row it is")
    subset: str = key("", "of a dataset on the hub that has several")
    split: str = key("train", "of a dataset on the hub")
    max_megabytes: int = key(
        64, "most MiB of text an organization keeps; what comes after is not read", least=1, most=1_000_000
    )
    readers: str | int = key(
        "auto", "processes that read many texts ahead; auto: beside a console", int, words=("auto",), least=0, most=64
    )
    joined: Mapping[str, str] = key(
        {},
        'organizations that may join though their text lies elsewhere: { clinic = "folder:/data/clinic" }',
        str,
        table=True,
        pattern=r"(folder|hub):\S.*",
    )
    partition: str = key(
        "natural",
        "natural: each keeps its own text; the others deal all text out anew",
        words=("natural", "iid", "dirichlet", "quantity"),
    )
    dirichlet_alpha: float = key(
        0.5, "dirichlet: small gives each organization few labels, large makes all alike", above=0.0, most=1e6
    )
    quantity_skew: float = key(
        1.0, "quantity: the n-th has a share of n to the minus this; 0: all equal", least=0.0, most=5.0
    )
    label_field: str = key("", "dirichlet: field or column that holds labels; left out: file or trade")
    packing: bool = key(True, "plain text fills whole rows, several documents in one; false: each has rows of its own")
    holdout: float = key(0.1, "share of the documents that is kept from training, to measure on", above=0.0, most=0.9)
    holdout_tokens: int = key(4096, "most target tokens an organization measures on", least=16, most=10_000_000)


@dataclass(frozen=True)
class PrivacyConfig:
    """Protection of the organizations' updates."""

    mechanism: str = key(
        "none",
        "none: the server takes in each update as it is; gaussian: clipped, and noise on their sum",
        words=("none", "gaussian"),
    )
    clip_norm: float = key(1.0, "longest update of an organization; what is longer is shortened", above=0.0, most=1e6)
    clip: str = key(
        "joint",
        "joint: over all factors that travel; module: each module at clip_norm / sqrt(modules)",
        words=("joint", "module"),
    )
    noise_multiplier: str | float = key(
        "auto",
        "deviation of the noise on the sum, in clip_norms; auto: as target_epsilon and the rounds ask",
        float,
        words=("auto",),
        least=0.1,
        most=10_000.0,
    )
    noise: str = key(
        "server",
        "who adds it: the server, or each organization a part",
        words=("server", "organizations"),
    )
    target_epsilon: float = key(
        8.0, "the run ends before it would spend more; 0: no budget, noise_multiplier is a number", least=0.0, most=1e4
    )
    delta: float = key(1e-5, "epsilon holds but for this probability; below 1 / organizations", above=0.0, below=1.0)
    sampling: str = key(
        "poisson",
        "who trains: each by its own lot of probability fraction, or a number fixed by fraction",
        words=("poisson", "fixed"),
    )
    withhold_losses: bool = key(False, "no loss leaves an organization: there is no hold-out loss to see either")
    seeded_noise: bool = key(False, "noise and lots from federation.seed: for tests alone, it protects nothing")
    secure_sum: bool = key(False, "the server sees the sum of the updates alone")
    secure_threshold: float = key(
        0.6,
        "share of a round's organizations that must stay to its end; more than half, and 3, always",
        above=0.5,
        most=1.0,
    )
    secure_neighbours: int = key(
        100, "with how many others each hides its update; all of them where a round has fewer", least=8, most=1000
    )
    secure_range: float = key(
        1.0, "largest change of a number in a round; what is larger is cut, and how often is told", above=0.0, most=1e3
    )


@dataclass(frozen=True)
class AuditConfig:
    """Secrets that are planted in training text, for fedlora-tui audit to look for in what was learned."""

    secrets: int = key(0, "organizations that have a secret of their own among their text; 0: none", least=0, most=24)
    repetitions: int = key(32, "copies of its secret that an organization trains on", least=1, most=10_000)
    organizations: tuple[str, ...] = key(
        (),
        "which ones, by name; left out: so many, drawn from the seed",
        str,
        texts=True,
        example='["clinic", "hotel"]',
    )


@dataclass(frozen=True)
class ConsoleConfig:
    """How the console looks and how often it paints."""

    refresh_hz: str | float = key(
        "auto", "repaints a second; auto: at most 4 here, 2 over SSH", float, words=("auto",), least=0.2, most=30.0
    )
    theme: str = key("dark", "colours", words=("dark", "light"))
    bell: bool = key(True, "ring at done, failed and paused by itself")
    prompts: tuple[str, ...] = key((), "texts ready to be tried, before those that come along", str, texts=True)
    keys: Mapping[str, str] = key(
        {},
        "other keys for actions, by the names that the box of commands (:) lists",
        str,
        table=True,
    )


@dataclass(frozen=True)
class RunsConfig:
    """Where runs are kept."""

    dir: str = key("runs", "folder of run folders")
    keep_full: int = key(3, "newest rounds with all that a resume needs; adapters stay of all", least=1, most=10_000)
    name: str = key("", "suffix of the run's id; left out: random letters", pattern=r"[A-Za-z0-9._-]{0,40}")
