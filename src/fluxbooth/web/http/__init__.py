"""What API and pages share of HTTP: bodies, parameters, keys, limits, headers. It knows neither."""
