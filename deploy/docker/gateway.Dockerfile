# The gateway: nginx from Debian, one port for the four services.
FROM debian:trixie-slim
RUN apt-get update \
    && DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends nginx-light \
    && rm -rf /var/lib/apt/lists/*
COPY gateway.conf /etc/nginx/nginx.conf
RUN nginx -t && rm -rf /tmp/nginx*
USER www-data
EXPOSE 8000
HEALTHCHECK --interval=15s --start-period=30s --start-interval=1s --timeout=3s --retries=3 \
    CMD ["/bin/bash", "-c", "exec 3<>/dev/tcp/127.0.0.1/8000 && printf 'GET /health HTTP/1.0\\r\\n\\r\\n' >&3 && grep -q '200 OK' <&3"]
CMD ["nginx", "-g", "daemon off; error_log stderr warn;"]
