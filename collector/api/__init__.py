"""The REST API under /api/v1; its OpenAPI description is at /api/v1/openapi.json."""
