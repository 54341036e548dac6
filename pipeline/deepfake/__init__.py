"""Which faces look manipulated: aligned crops, MesoNet, votes over time."""
