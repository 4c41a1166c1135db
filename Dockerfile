# Builds the broker for a distroless runtime: no shell, no package manager, not root, nothing to write to but /app/var.
#   docker build --build-arg RUNTIME=<a distroless nodejs24 image, tag nonroot, pinned by digest> -t writ .
#   docker run --read-only --mount type=volume,dst=/app/var --mount type=bind,src=…/keys,dst=/app/keys,ro … writ serve
# deploy/image-steps.sh runs these same steps without an engine; no image is published.
ARG RUNTIME
FROM node:24-bookworm-slim AS build
WORKDIR /app
COPY package.json package-lock.json ./
RUN npm ci --no-audit --no-fund --loglevel=error
COPY tsconfig.json tsconfig.build.json vite.config.ts ./
COPY src ./src
RUN npm run build
RUN npm prune --omit=dev --no-audit --no-fund --loglevel=error

FROM ${RUNTIME}
WORKDIR /app
COPY --from=build /app/package.json ./
COPY --from=build /app/node_modules ./node_modules
COPY --from=build /app/dist ./dist
ENV NODE_ENV=production
USER nonroot
EXPOSE 4470 4471 4472
ENTRYPOINT ["/nodejs/bin/node", "/app/dist/cli/main.js"]
CMD ["serve"]
