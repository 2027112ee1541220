"""The one vocabulary: what can be asked of a training and of a generation.

The fields of `TrainSpec` and `GenerateSpec` are the flags of the command line, the keys of a
`--config` file, the job payload of the service and the metadata of the files that come out. `None`
means "what suits the base"; `models.resolve` fills it in. `base` "auto" is what
`base_selection.with_base` makes of it.
"""

from fluxbooth.specs.enhancing import Enhancements, EnhanceSpec
from fluxbooth.specs.generating import (
    ASPECT_RATIOS,
    AspectRatio,
    GenerateSpec,
    ResolvedGenerateSpec,
    lora_and_weight,
)
from fluxbooth.specs.spec import Spec
from fluxbooth.specs.training import (
    FEWEST_STEPS,
    FEWEST_TOKENS,
    PRESET_NAMES,
    PRESETS,
    PresetName,
    ResolvedTrainSpec,
    TrainSpec,
    stage_steps,
    steps_for,
)

__all__ = [
    "ASPECT_RATIOS",
    "FEWEST_STEPS",
    "FEWEST_TOKENS",
    "PRESETS",
    "PRESET_NAMES",
    "AspectRatio",
    "EnhanceSpec",
    "Enhancements",
    "GenerateSpec",
    "PresetName",
    "ResolvedGenerateSpec",
    "ResolvedTrainSpec",
    "Spec",
    "TrainSpec",
    "lora_and_weight",
    "stage_steps",
    "steps_for",
]
