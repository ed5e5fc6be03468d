"""usassist: a real-time ultrasound streaming assistant. For research use; not a medical device."""

__version__ = "0.1.0"

__all__ = ["__version__"]
