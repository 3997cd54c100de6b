// A photo gets small before it is kept: drawn anew, upright, without EXIF or position.

/** MAX_PX is the longer side of what is kept; the server keeps no more either. */
const MAX_PX = 1600
const QUALITY = 0.8

/** fitted is the size of a picture whose longer side is at most max; it never grows. */
export function fitted(width: number, height: number, max = MAX_PX): { width: number; height: number } {
	const scale = Math.min(1, max / Math.max(width, height))
	return { width: Math.max(1, Math.round(width * scale)), height: Math.max(1, Math.round(height * scale)) }
}

/** shrink answers the picture of a file as a small JPEG. It rejects what is no picture. */
export async function shrink(file: Blob): Promise<Blob> {
	// Turned upright by its EXIF, which is then gone.
	const picture = await createImageBitmap(file, { imageOrientation: "from-image" })
	try {
		const { width, height } = fitted(picture.width, picture.height)
		const canvas = document.createElement("canvas")
		canvas.width = width
		canvas.height = height
		canvas.getContext("2d")!.drawImage(picture, 0, 0, width, height)
		return await new Promise((resolve, reject) =>
			canvas.toBlob(blob => (blob ? resolve(blob) : reject(new Error("no picture"))), "image/jpeg", QUALITY),
		)
	} finally {
		picture.close()
	}
}
