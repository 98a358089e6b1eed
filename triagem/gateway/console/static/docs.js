// Starts Swagger UI on /docs. A file of its own, because pages run no inline scripts.
SwaggerUIBundle({ url: "/openapi.json", dom_id: "#swagger-ui", deepLinking: true });
