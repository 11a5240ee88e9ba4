"""A vehicle where it stands, seen by a drone: camera, ground, light, shadow, and the sensor."""
