"""Everything that installs or starts Framequeue."""
