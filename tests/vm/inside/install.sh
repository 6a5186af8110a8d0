#!/bin/sh
# Installs Holdfast from the wheelhouse of the image, and compiles what the tests will import:
# software emulation would take minutes for both. Given are the environment, the checkout, and where
# the tests are.
set -e
environment=$1
cd "$2"
shift 2
unset PIP_FIND_LINKS PIP_CERT
pip="$environment/bin/python -m pip --disable-pip-version-check -q"
mkdir /tmp/build
cp -r . /tmp/build/source
$pip wheel --no-index --find-links /opt/wheelhouse --no-deps -w /opt/wheelhouse /tmp/build/source
rm -r /tmp/build
$pip install --no-index --find-links /opt/wheelhouse "holdfast[collector]"
packages=$("$environment/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
# The tests are to run what is installed, also where they name a file of the checkout.
for each in wire rules agent collector holdfast_ask holdfast_why; do
	rm -r $each
	ln -s "$packages/$each" $each
done
ln -s "$environment" .venv
"$environment/bin/python" -m compileall -q deploy "$packages/agent/kernel"
# What does not import here will say so in the VM.
"$environment/bin/python" -m pytest -q --collect-only \
	-p tests.vm.inside.reports -p no:cacheprovider "$@" || true
