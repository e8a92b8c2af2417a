// Shows the contract that this server speaks. Nothing is asked of anybody else:
// the validator of the viewer's makers is off, and the page's policy forbids the rest.
SwaggerUIBundle({
  url: "openapi.json",
  dom_id: "#reference",
  deepLinking: true,
  docExpansion: "list",
  defaultModelsExpandDepth: 0,
  displayRequestDuration: true,
  tryItOutEnabled: false,
  persistAuthorization: false,
  queryConfigEnabled: false,
  validatorUrl: null,
});
