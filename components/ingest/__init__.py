"""Raw files to TFRecord splits, with Beam."""

import components.jobs  # noqa: F401 - keeps Beam, imported after it, from telling what nobody asked
