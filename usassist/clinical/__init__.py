"""What published rules say of a nodule: TI-RADS categories, volume, growth. A pure library: no state, no stream.

The rules are data, in the TOML files of this folder, with edition and source; see ``docs/tirads.md``. Categories are
looked up only from descriptors that a clinician confirmed.
"""

from usassist.clinical.categorise import Category, Incomplete, categorise
from usassist.clinical.growth import Growth, GrowthState, Quantity, judge_growth, volume_ml
from usassist.clinical.systems import SYSTEMS, Level, System, parse_system
from usassist.clinical.vocabulary import ALONE, DESCRIPTOR_TEXTS, DESCRIPTORS, SEVERAL, Confirmed, check_words

__all__ = [
    "ALONE",
    "DESCRIPTORS",
    "DESCRIPTOR_TEXTS",
    "SEVERAL",
    "SYSTEMS",
    "Category",
    "Confirmed",
    "Growth",
    "GrowthState",
    "Incomplete",
    "Level",
    "Quantity",
    "System",
    "categorise",
    "check_words",
    "judge_growth",
    "parse_system",
    "volume_ml",
]
