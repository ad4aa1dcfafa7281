# The gateway: nginx from Debian, one port for the four services.
FROM debian:trixie-slim
RUN apt-get update \
    && apt-get install --yes --no-install-recommends nginx-light \
    && rm -rf /var/lib/apt/lists/* \
    && rm -f /etc/nginx/sites-enabled/default
COPY gateway.conf /etc/nginx/nginx.conf
RUN nginx -t -c /etc/nginx/nginx.conf && chown -R www-data /var/lib/nginx && rm -f /tmp/nginx.pid
USER www-data
EXPOSE 8000
HEALTHCHECK --interval=5s --timeout=3s --retries=6 \
    CMD ["/bin/bash", "-c", "exec 3<>/dev/tcp/127.0.0.1/8000 && printf 'GET /health HTTP/1.0\\r\\n\\r\\n' >&3 && grep -q '200 OK' <&3"]
CMD ["nginx", "-c", "/etc/nginx/nginx.conf", "-g", "daemon off;"]
