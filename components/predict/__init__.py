"""New images to what a published model says of them, with Beam."""

import components.jobs  # noqa: F401 - keeps Beam, imported after it, from telling what nobody asked
