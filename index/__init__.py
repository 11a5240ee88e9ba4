"""Everything between the network and its users: data sets, rankings, the gallery and what keeps it."""
