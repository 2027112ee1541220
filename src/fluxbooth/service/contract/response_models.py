"""What the answers of the API are: `responses` makes them, routes name them as their
`response_model`, and /openapi.json follows from them.

They are dicts with types, so that the type checker holds what is made to what is promised and
nothing is converted on the way: clients ask for their rows every second.
"""

from __future__ import annotations

from typing import Annotated, NotRequired

from pydantic import ConfigDict, Field
from typing_extensions import TypedDict  # pydantic reads no other before Python 3.12

from fluxbooth.types import Json

Time = Annotated[
    str,
    Field(
        pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$",
        json_schema_extra={"format": "date-time"},
    ),
]


class Exact(TypedDict):
    """No field that the model does not name"""

    __pydantic_config__ = ConfigDict(extra="forbid")  # type: ignore[misc]


class Reference(Exact):
    """A tune in short"""

    id: int
    title: str
    name: str


class Prompt(Exact):
    """A text drawn, or to be drawn; `images` is empty until then"""

    id: int
    callback: str | None
    trained_at: Time | None
    started_training_at: Time | None
    created_at: Time
    updated_at: Time
    tune_id: int
    text: str
    negative_prompt: str
    cfg_scale: str | None
    steps: int | None
    super_resolution: bool
    ar: str
    seed: int | None
    controlnet_conditioning_scale: float | None
    controlnet_txt2img: bool
    denoising_strength: float | None
    style: str | None
    aspect_ratio: str | None
    resolution: str | None
    w: int | None
    h: int | None
    scheduler: str | None
    color_grading: str | None
    film_grain: bool
    hires_fix: bool
    face_correct: bool
    face_swap: bool
    inpaint_faces: bool
    prompt_expansion: bool
    theme: str | None
    controlnet: str | None
    use_lpw: bool
    backend_version: str | None
    only_upscale: bool
    upscale_factor: float | None
    hires_denoising_strength: float
    tiled_upscale: bool
    tiled_upscale_v2: bool
    face_inpaint_denoising: float | None
    mask_prompt: str | None
    mask_negative: str | None
    mask_invert: bool
    mask_dilate: str | None
    mask_blur: int | None
    fill: bool
    restore_mask: bool
    remove_background: bool
    outpaint: str | None
    outpaint_width: int | None
    outpaint_height: int | None
    outpaint_prompt: str | None
    multi: bool
    use_regional: bool
    num_images: int
    user_error: str | None
    url: str
    images: list[str]
    is_multiperson: bool
    input_image: str | None
    mask_image: str | None
    image_references: list[str]
    prompt_likes_count: int
    liked: bool
    pack_id: int | None
    base_pack_id: int | None
    orig_prompt_id: int | None
    order_id: int | None
    cost_mc: int
    theme_writer: str | None
    warnings: list[str]
    tune: Reference
    tunes: list[Reference]


class Tune(Exact):
    """A subject learnt, or to be learnt; `prompts` come with the answer to a request that asked
    for some"""

    id: int
    title: str
    name: str
    is_api: bool
    token: str | None
    eta: Time | None
    callback: str | None
    trained_at: Time | None
    started_training_at: Time | None
    expires_at: Time | None
    created_at: Time
    updated_at: Time
    model_type: str | None
    base_tune_id: int | None
    branch: str
    args: None
    steps: int | None
    preset: str | None
    face_crop: bool
    training_face_correct: bool
    auto_extend: bool
    ckpt_url: str | None
    ckpt_urls: list[str]
    url: str
    orig_images: list[str]
    characteristics: Json
    base: str
    cost_mc: int
    continues: int | None
    warnings: list[str]
    ref_with_trigger: str
    # of one that failed: a healthy one has no `error` and no `status`
    failed_at: NotRequired[Time]
    user_error: NotRequired[str]
    error: NotRequired[str]
    status: NotRequired[str]
    prompts: NotRequired[list[Prompt]]


class Look(Exact):
    """How good the pictures of a checkpoint were found, each 0 to 1; null: it cannot be told"""

    step: int
    identity: float
    prompt: float | None
    value: float


class Progress(Exact):
    """How far a training is: `over`, and from its first step on all the rest"""

    id: int
    over: bool
    trained_at: Time | None
    user_error: str | None
    step: NotRequired[int | None]
    steps: NotRequired[int | None]
    loss: NotRequired[float | None]
    steps_per_second: NotRequired[float | None]
    seconds_left: NotRequired[float | None]
    losses: NotRequired[list[float]]
    samples: NotRequired[int]
    resumed_at: NotRequired[int]  # after an interruption: the step from which it goes on
    interrupted: NotRequired[bool]  # and not taken up again yet
    looks: NotRequired[list[Look]]
    best: NotRequired[int]
    report: NotRequired[bool]


class Sample(Exact):
    """A picture that a training drew on its way"""

    text: str
    url: str
    likeness: float | None


class Checkpoint(Exact):
    """A training after some steps; likeness is 0 to 1"""

    step: int
    chosen: bool
    likeness: float | None
    url: str | None
    samples: list[Sample]


class Cost(Exact):
    """`cost` in cents, `cost_mc` in millicents"""

    cost: int
    cost_mc: int
    num_images: int


class PackPrompt(Exact):
    """A template and what was drawn of it"""

    id: int
    images: list[str]


class Template(Exact):
    """A text of a pack"""

    id: int
    text: str
    class_name: str
    num_images: int
    cost_mc: int
    prompt_likes_count: int


class Pack(Exact):
    """Texts that go together, by class of subject"""

    id: int
    base_tune_id: int
    user_id: int
    slug: str
    title: str
    subtitle: str
    token: str
    created_at: Time
    updated_at: Time
    multiplier: float
    multiplier_api: float
    model_type: str
    preset: str | None
    public_at: Time | None
    unlisted_at: Time | None
    cover_url: str | None
    logo: None
    main_class_name: str | None
    cost_mc_hash: dict[str, int]
    costs: dict[str, Cost]
    prompts_per_class: dict[str, list[PackPrompt]]
    template_prompts: list[Template]


class Order(Exact):
    """One run of a pack"""

    id: int
    tune_ids: list[int]
    total_cost_mc: int


class PackDrawn(Exact):
    """A run of a pack on tunes that are there already"""

    status: int
    message: str
    order: Order
    prompt_ids: list[int]


class Draft(Exact):
    """A prompt that was written and not drawn"""

    tune_id: int
    text: str


class Theme(Exact):
    """Who wrote the prompts; with `draft`, what was written"""

    theme_writer: str
    prompts: NotRequired[list[Draft]]


class TuneEstimate(Exact):
    """What a training would cost and take; `days` is null for a tune that is kept"""

    photos: int
    steps: int
    seconds: float | None
    measured: bool
    waiting: int
    days: int | None
    cost_mc: int
    cost: int
    usd_balance_mc: int
    covered: bool


class PromptEstimate(Exact):
    """What the pictures of a prompt would cost and take"""

    pictures: int
    seconds: float
    measured: bool
    waiting: int
    waits_seconds: float
    cost_mc: int
    cost: int
    usd_balance_mc: int
    covered: bool


class User(Exact):
    """An account and its options"""

    id: int
    name: str
    email: None
    usd_balance_mc: int
    auto_extend_tunes: bool
    top_off_amount: None
    purchased_plugin_at: None
    idempotent: bool
    face_crop: bool


class CatalogueModel(Exact):
    """A base, as command-line clients know it"""

    tune_id: int
    title: str
    resolutions: list[str]
    default: bool


class Catalogue(Exact):
    """The bases, as command-line clients read them"""

    default: str
    default_video_model: None
    cache_ttl: int
    models: dict[str, CatalogueModel]
    video_models: Json
    cli: Json
    skills: Json


class Photo(Exact):
    """What is seen on a photo; what could not be told is left out"""

    name: str
    blurry: bool
    low_resolution: bool
    low_quality: bool
    width: int
    height: int
    age: NotRequired[str]
    glasses: NotRequired[str]
    eye_color: NotRequired[str]
    hair_color: NotRequired[str]
    hair_length: NotRequired[str]
    hair_style: NotRequired[str]
    facial_hair: NotRequired[str]
    is_bald: NotRequired[str]
    headcover: NotRequired[str]
    funny_face: NotRequired[bool]
    wearing_sunglasses: NotRequired[bool]
    wearing_hat: NotRequired[bool]
    includes_multiple_people: NotRequired[bool]
    full_body_image_or_longshot: NotRequired[bool]
    selfie: NotRequired[bool]
    warnings: NotRequired[list[str]]


class Deleted(Exact):
    """What was done"""

    message: str


class Health(Exact):
    """All is well"""

    ok: bool


class Error(TypedDict):
    """Why not, in one sentence; of fields that will not do, a list of sentences under the name of
    each"""

    # the fields: {"cfg_scale": ["must be less than 5"]}
    __pydantic_config__ = ConfigDict(extra="allow")  # type: ignore[misc]
    error: str
    message: str
    base: list[str]
