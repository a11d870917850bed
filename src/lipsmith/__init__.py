"""Re-speak a video: the same footage, with lips, chin and cheeks that say new speech."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lipsmith.dubbing import Dubber

__version__ = "0.1.0"
__all__ = ["Dubber", "__version__"]


def __getattr__(name: str) -> Any:  # noqa: ANN401 - the module protocol leaves the type open
    if name == "Dubber":
        from lipsmith.dubbing import Dubber

        return Dubber
    raise AttributeError(f"module 'lipsmith' has no attribute {name!r}")
