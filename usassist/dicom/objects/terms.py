"""Coded terms of the objects: standard ones where the standard has the same meaning, else of our own scheme.

Codes of DCM, SCT and UCUM are those of DICOM PS3.16; where one belongs to a context group, that is named. Our own have
the designator ``99USASSIST`` (PS3.3 section 8.2: private designators begin with 99); a receiver that does not know one
shows its meaning, which says what it is.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = [
    "BASES",
    "CAUSES",
    "DESCRIPTORS",
    "DESCRIPTOR_WORDS",
    "LOWER_BOUNDS",
    "MARKS",
    "OWN_SCHEME",
    "OWN_SCHEME_NAME",
    "OWN_SCHEME_ORGANIZATION",
    "PLANES",
    "SIDES",
    "SIGNALS",
    "SIZES",
    "Term",
    "own",
]

OWN_SCHEME = "99USASSIST"
OWN_SCHEME_NAME = "usassist terms"
OWN_SCHEME_ORGANIZATION = "usassist"

_LONGEST_VALUE, _LONGEST_MEANING = 16, 64  # DICOM PS3.5 table 6.2-1: SH and LO


@dataclass(frozen=True, slots=True)
class Term:
    """A coded concept: value, scheme and meaning (DICOM PS3.3 table 8.8-1)."""

    value: str
    scheme: str
    meaning: str

    def __post_init__(self) -> None:
        """Check that value and meaning fit, so that no program cuts them."""
        if len(self.value) > _LONGEST_VALUE or len(self.meaning) > _LONGEST_MEANING:
            raise ValueError(f"a code has at most 16 characters and its meaning 64: {self.value}, {self.meaning}")


def own(value: str, meaning: str) -> Term:
    """A term of our own scheme."""
    return Term(value, OWN_SCHEME, meaning)


NODULE = Term("27925004", "SCT", "Nodule")  # CID 7159
ABNORMAL_STRUCTURE = Term("49755003", "SCT", "Morphologically Abnormal Structure")  # CID 7150
THYROID = Term("69748006", "SCT", "Thyroid")  # CID 4
ISTHMUS = Term("40867004", "SCT", "Thyroid isthmus")  # CID 12130
RIGHT = Term("24028007", "SCT", "Right")  # CID 244
LEFT = Term("7771000", "SCT", "Left")  # CID 244
ULTRASONOGRAPHY = Term("16310003", "SCT", "Diagnostic ultrasonography")  # CID 6028
FINDING = Term("121071", "DCM", "Finding")
COMMENT = Term("121106", "DCM", "Comment")
MEASUREMENT_METHOD = Term("370129005", "SCT", "Measurement Method")
SOURCE_OF_MEASUREMENT = Term("121112", "DCM", "Source of Measurement")
CERTAINTY_OF_FINDING = Term("111012", "DCM", "Certainty of Finding")
CERTAINTY_OF_FEATURE = Term("111011", "DCM", "Certainty of Feature")
UPPER_UNCERTAINTY = Term("371886008", "SCT", "+, range of upper measurement uncertainty")  # CID 225
LOWER_UNCERTAINTY = Term("371885007", "SCT", "-, range of lower measurement uncertainty")  # CID 225
LENGTH = Term("410668003", "SCT", "Length")  # CID 7470
WIDTH = Term("103355008", "SCT", "Width")  # CID 7470
DEPTH = Term("131197000", "SCT", "Depth")  # CID 7470
ELLIPSOID_VOLUME = Term("121221", "DCM", "Volume of ellipsoid")  # CID 7472

MM = Term("mm", "UCUM", "mm")
MM2 = Term("mm2", "UCUM", "square millimeter")
CM3 = Term("cm3", "UCUM", "cubic centimeter")
PIXELS = Term("{pixels}", "UCUM", "Pixels")
RATIO = Term("{ratio}", "UCUM", "ratio")
PERCENT = Term("%", "UCUM", "Percent")
ONE = Term("1", "UCUM", "no units")
SECONDS = Term("s", "UCUM", "second")
FRAMES = Term("{frames}", "UCUM", "frames")
IDENTITIES = Term("{identities}", "UCUM", "identities")

SIZES = {
    "longest_diameter": Term("103339001", "SCT", "Long Axis"),
    "across": Term("103340004", "SCT", "Short Axis"),
    "ap": own("AP", "Extent along the beam (AP in a transverse plane)"),
    "transverse": own("TRANSVERSE", "Extent across the beam (transverse in such a plane)"),
    "equivalent_diameter": own("EQUIVALENT", "Diameter of the circle with the same area"),
    "perimeter": Term("131191004", "SCT", "Perimeter"),
    "area": Term("42798000", "SCT", "Area"),
}
"""Name of a size → its concept; lengths of CID 7470, area of CID 7471."""

LOWER_BOUNDS = {
    "longest_diameter": own("MIN_LONG_AXIS", "Long axis is at least (lower bound, nodule cut)"),
    "across": own("MIN_SHORT_AXIS", "Short axis is at least (lower bound, nodule cut)"),
    "ap": own("MIN_AP", "Extent along the beam is at least (nodule cut)"),
    "transverse": own("MIN_TRANSVERSE", "Extent across the beam is at least (nodule cut)"),
    "equivalent_diameter": own("MIN_EQUIVALENT", "Equivalent diameter is at least (nodule cut)"),
    "perimeter": own("MIN_PERIMETER", "Perimeter is at least (lower bound, nodule cut)"),
    "area": own("MIN_AREA", "Area is at least (lower bound, nodule cut)"),
}
"""The same of a nodule that the border of the scan cuts: other concepts, so that no reader takes a bound for a size."""

AP_T = own("AP_T", "AP over transverse extent, in a transverse plane")
RAW_SCORE = own("RAW_SCORE", "Score, not calibrated")
FRAMES_SEEN = own("FRAMES_SEEN", "Frames on which it was outlined")
FRAMES_CUT = own("FRAMES_CUT", "Frames on which the border of the scan cuts it")
INTERVAL_95 = own("U95", "Distance to the end of the 95 % interval (k = 2)")

CUT = own("CUT_BY_BORDER", "Cut by the border of the scan")
CUT_STATES = {
    True: own("CUT", "Cut: every size is a lower bound"),
    False: own("WHOLE", "Whole within the scan"),
    None: own("NOT_LOOKED_FOR", "Not looked for: sizes may be lower bounds"),
}
SCALE = own("SCALE", "Scale of the frame")
SCALE_STATES = {
    True: own("CALIBRATED", "Calibrated: sizes in mm with their uncertainty"),
    False: own("NO_SCALE", "No scale on this frame: sizes in pixels only"),
}
PLANE = own("PLANE", "Plane of the section, as marked by a person")
PLANES = {
    "transverse": own("TRANSVERSE_PL", "Transverse plane"),
    "longitudinal": own("LONGITUDINAL_PL", "Longitudinal plane"),
}
BASIS = own("BASIS", "Origin of the value")
BASES = {
    "estimated": own("ESTIMATED", "Estimate by algorithm"),
    "measured": own("MEASURED", "Measured by algorithm"),
    "confirmed": own("CONFIRMED", "Confirmed by a person"),
    "looked_up": own("LOOKED_UP", "Looked up from descriptors that a person confirmed"),
}
AGREEMENT = own("AGREEMENT", "Agreement of such estimates with readers")
SAME_IN_FRAMES = own("SAME_IN_FRAMES", "Share of the described frames with the same value")

DESCRIPTORS = {
    "composition": own("COMPOSITION", "Composition"),
    "echogenicity": own("ECHOGENICITY", "Echogenicity"),
    "shape": own("SHAPE", "Shape in the transverse plane"),
    "margin": own("MARGIN", "Margin"),
    "foci": own("FOCI", "Echogenic foci"),
}

DESCRIPTOR_WORDS = {
    ("composition", "pure_cyst"): own("PURE_CYST", "Cystic, no solid part"),
    ("composition", "almost_cystic"): own("ALMOST_CYSTIC", "Almost completely cystic"),
    ("composition", "spongiform"): own("SPONGIFORM", "Spongiform"),
    ("composition", "mixed"): own("MIXED", "Mixed cystic and solid"),
    ("composition", "solid"): own("SOLID", "Solid or almost completely solid"),
    ("composition", "calcified"): own("CALCIFIED", "Entirely calcified"),
    ("echogenicity", "isoechoic_or_hyperechoic"): own("ISO_OR_HYPER", "Isoechoic or hyperechoic"),
    ("echogenicity", "anechoic"): Term("111361", "DCM", "Anechoic"),  # CID 6154
    ("echogenicity", "hyperechoic"): Term("111362", "DCM", "Hyperechoic"),
    ("echogenicity", "isoechoic"): Term("111365", "DCM", "Isoechoic"),
    ("echogenicity", "hypoechoic"): Term("111364", "DCM", "Hypoechoic"),
    ("echogenicity", "very_hypoechoic"): own("VERY_HYPOECHOIC", "Very hypoechoic"),
    ("shape", "wider"): own("WIDER", "Wider than tall"),
    ("shape", "wider_irregular"): own("WIDER_IRREGULAR", "Wider than tall, irregular"),
    ("shape", "taller"): own("TALLER", "Taller than wide"),
    ("shape", "uncertain"): own("UNCERTAIN", "Uncertain which is longer: the interval includes 1"),
    ("margin", "smooth"): own("SMOOTH", "Smooth"),
    ("margin", "ill_defined"): own("ILL_DEFINED", "Ill-defined"),
    ("margin", "irregular"): own("IRREGULAR", "Lobulated or irregular"),
    ("margin", "extrathyroidal"): own("EXTRATHYROIDAL", "Extrathyroidal extension"),
    ("foci", "none"): own("NO_FOCI", "None"),
    ("foci", "comet_tail"): own("COMET_TAIL", "Large comet-tail artefacts"),
    ("foci", "macrocalcification"): own("MACROCALC", "Macrocalcification"),
    ("foci", "peripheral"): own("RIM_CALC", "Peripheral (rim) calcification"),
    ("foci", "punctate"): own("PUNCTATE", "Punctate echogenic foci"),
}
DESCRIPTOR_WORDS |= {
    (name, "undeterminable"): own("UNDETERMINABLE", "Not determinable")
    for name in ("composition", "echogenicity", "margin")
}
"""(descriptor, word) → its concept; words of ``usassist/clinical/vocabulary.toml`` and of the engines."""

SWEEP_FRAMES = own("FRAMES", "Frames of the sweep")
SWEEP_LENGTH = own("LENGTH", "Length of the sweep")
ANSWERED_FRAMES = own("ANSWERED", "Frames that were answered")
ANSWERED_TIME = own("ANSWERED_S", "Time that was answered")
FINDING_FRAMES = own("FINDING_FRAMES", "Answered frames with a finding")
NO_FINDING_FRAMES = own("NO_FINDING", "Answered frames without a finding")
UNANSWERED_FRAMES = own("UNANSWERED", "Frames without a result: they were not looked at")
UNANSWERED_TIME = own("UNANSWERED_S", "Time without a result")
NOT_LIVE_FRAMES = own("NOT_LIVE", "Frames whose signal was not live")
NOT_LIVE_TIME = own("NOT_LIVE_S", "Time with a signal that was not live")
FRAMES_LOST = own("FRAMES_LOST", "Frames lost before they were recorded")
PIXELS_LOST = own("PIXELS_LOST", "Frames whose pixels are lost")
RESULTS_LOST = own("RESULTS_LOST", "Results that are lost")
FRAMES_UNSCALED = own("FRAMES_UNSCALED", "Frames without a scale")
NOT_LISTED = own("NOT_LISTED", "Identities that were outlined and are not listed")
NOT_SHOWN = own("NOT_SHOWN", "Identities left out, as pixels of their best plane are lost")
CAUSE = own("CAUSE", "Why")
OTHER_CAUSE = own("OTHER_CAUSE", "Another reason")
SWEEP = own("SWEEP", "What was looked at and what was not")

CAUSES = {
    "dropped": own("DROPPED", "Dropped: a newer frame came before the engine was free"),
    "engine_error": own("ENGINE_ERROR", "The engine failed"),
    "null_engine": own("NO_ENGINE", "No engine was running"),
    "late": own("LATE", "The answer came too late"),
    "missing": own("MISSING", "No answer arrived"),
    "interrupted": own("INTERRUPTED", "The run was stopped"),
    "not_live": own("NOT_LIVE_CAUSE", "The frame was not live"),
    "damaged": own("DAMAGED", "The frame was damaged on its way"),
    "out_of_domain": own("ABSTAINED", "The engine abstained: not what it was made for"),
    "result_lost": own("RESULT_LOST", "The result is lost"),
}
SIGNALS = {
    "frozen": own("FROZEN", "Frozen"),
    "lost": own("SIGNAL_LOST", "Signal lost"),
    "changed": own("CHANGED", "Picture changed"),
    "not_b_mode": own("NOT_B_MODE", "Not B-mode"),
    "damaged": own("SIGNAL_DAMAGED", "Damaged"),
}

MARK = own("MARK", "Mark that a person made")
MARKS = {
    "bookmark": own("BOOKMARK", "Bookmark"),
    "wrong": own("WRONG", "The answer on this frame is wrong"),
    "missed": own("MISSED", "A nodule was missed on this frame"),
    "plane": own("PLANE_MARK", "Plane marked"),
    "descriptors": own("DESCRIPTORS", "Descriptors confirmed"),
    "scale": own("SCALE_MARK", "Known distance marked"),
}
MARK_ABOUT = own("ABOUT", "What the mark is about")

SIDES = {"right": RIGHT, "left": LEFT}
"""Side as marked → laterality; the isthmus is a site of its own."""
