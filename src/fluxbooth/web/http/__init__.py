"""HTTP that API and pages share: bodies, parameters, keys, limits, headers. It knows neither."""
