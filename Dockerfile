# vssl with the versions of constraints.txt (docs/install.md, "Docker").
#   docker build --tag vssl:cpu --build-arg DEVICE=cpu .
#   docker build --tag vssl:cuda --build-arg DEVICE=cuda .
FROM python:3.11-slim

ARG DEVICE=cpu
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1

# g++: torch.compile calls it.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends g++ \
    && rm -rf /var/lib/apt/lists/*

WORKDIR /opt/vssl
COPY constraints.txt ./
# PyPI's torch for Linux brings CUDA's libraries as packages, so that the host needs a driver alone. Without a GPU they are 5 GB
# for nothing: PyTorch's own index has torch without them.
RUN case "$DEVICE" in \
      cpu) pip install --no-deps --index-url https://download.pytorch.org/whl/cpu \
             $(grep --extended-regexp '^(torch|torchvision)==' constraints.txt) ;; \
      cuda) pip install --constraint constraints.txt torch torchvision ;; \
      *) echo "DEVICE=$DEVICE: give cpu or cuda" >&2; exit 1 ;; \
    esac

COPY pyproject.toml README.md LICENSE ./
COPY configs configs
COPY vssl vssl
# opencv-python-headless last: it holds the same cv2 as opencv-python, which needs libGL.
RUN pip install --constraint constraints.txt '.[tracking,onnx]' \
    && pip install --constraint constraints.txt --force-reinstall --no-deps opencv-python-headless \
    && vssl doctor

# Data and runs come from outside: --volume "$PWD:/work".
WORKDIR /work
ENTRYPOINT ["vssl"]
CMD ["--help"]
