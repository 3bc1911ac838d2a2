# The controller of a cluster, and the whole `windlass` command with it. Runs as 65532 on a read-only root; it writes to
# /tmp and to /var/lib/windlass (mirrors of git repositories, which may be lost at any time).
FROM node:24-slim AS dependencies
WORKDIR /app
COPY package.json package-lock.json ./
# Types and source maps of libraries are half of their size.
RUN npm ci --omit=dev --omit=optional --ignore-scripts --no-audit --no-fund \
    && find node_modules -type f \( -name '*.d.ts' -o -name '*.d.mts' -o -name '*.d.cts' -o -name '*.map' \) -delete

FROM node:24-slim
# ssh refuses to run as a user that has no name.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends ca-certificates git openssh-client \
    && rm -rf /var/lib/apt/lists/* \
    && echo 'windlass:x:65532:65532:windlass:/tmp:/usr/sbin/nologin' >>/etc/passwd \
    && echo 'windlass:x:65532:' >>/etc/group \
    && install -d -o 65532 -g 65532 /var/lib/windlass
WORKDIR /app
COPY --from=dependencies /app/node_modules node_modules/
COPY package.json LICENSE ./
COPY crds crds/
COPY controller controller/
COPY api api/
COPY cli cli/
ENV NODE_ENV=production
USER 65532:65532
EXPOSE 8080
ENTRYPOINT ["node", "/app/cli/windlass.js"]
CMD ["controller"]
